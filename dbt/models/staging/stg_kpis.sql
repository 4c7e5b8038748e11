with source as (

    select * from {{ source('reference', 'kpis') }}

),

renamed as (

    select
        kpi,
        layer,
        measure,
        unit,
        direction,
        owner_role,
        pair,
        decisions,
        is_actionable,
        is_gameable_alone,
        practical_margin,
        target,
        coalesce(is_active, true) as is_active,
        coalesce(valid_from, date '1900-01-01') as valid_from,
        coalesce(valid_to, date '9999-12-31') as valid_to,
        -- Changes with anything that the KPI is judged by.
        substr(md5(concat_ws(
            '|', kpi, layer, measure, unit, direction, coalesce(pair, ''), decisions, cast(is_actionable as varchar),
            cast(is_gameable_alone as varchar), cast(practical_margin as varchar),
            coalesce(cast(target as varchar), ''), coalesce(cast(valid_from as varchar), '')
        )), 1, 12) as definition_version

    from source

)

select * from renamed
