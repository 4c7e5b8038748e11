with source as (

    select * from {{ source('reference', 'slos') }}

),

renamed as (

    select
        -- keys
        definition,
        cast(row_number() over (order by definition) as integer) as definition_number,
        slo,
        service,

        -- what for
        display_name,
        user_path,
        why_this_threshold,
        how_measured,
        when_budget_burns,

        -- budget
        budgeting_method,
        window_duration,
        window_length,
        window_unit,
        window_starts_at,
        coalesce(time_zone, '{{ var("calendar_time_zone") }}') as time_zone,

        -- counts
        slot_minutes,
        total_source,
        total_deadline_seconds,
        numerator_kind,
        numerator_source,
        numerator_deadline_seconds,
        is_part_of_total,

        -- validity
        coalesce(valid_from, cast('1900-01-01' as date)) as valid_from,
        coalesce(valid_to, cast('9999-12-31' as date)) as valid_to,
        reviewed_on

    from source

)

select * from renamed
