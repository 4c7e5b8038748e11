with groups as (

    select
        conditions.scan,
        conditions.definition,
        conditions.part,
        conditions.condition_group,
        places.service_code,
        count(distinct conditions.position) as conditions,
        bool_and(conditions.column_name = 'service') as is_of_service
    from {{ ref('int_slo_conditions') }} as conditions
    inner join {{ ref('int_slo_places') }} as places
        on conditions.scan = places.scan and conditions.definition = places.definition
    group by
        conditions.scan, conditions.definition, conditions.part, conditions.condition_group, places.service_code

),

numbered as (

    select
        *,
        row_number() over (order by scan, definition, part, condition_group) as group_number,
        row_number() over (
            partition by scan, is_of_service, service_code order by definition, part, condition_group
        ) as number_in_service,
        case
            when service_code is not null then count(*) over (partition by scan, is_of_service, service_code)
            else 0
        end as numbers_in_service
    from groups

),

-- Groups about no one service come after those of all services.
placed as (

    select
        *,
        number_in_service - 1
        + case
            when service_code is null then max(numbers_in_service) over (partition by scan, is_of_service) else 0
        end as place
    from numbered

)

select
    scan,
    definition,
    part,
    condition_group,
    group_number,
    service_code,
    conditions,
    is_of_service,
    cast({{ whole_quotient('place', slo_groups_in_mask()) }} as integer) as mask,
    cast(power(2, place % {{ slo_groups_in_mask() }}) as bigint) as mask_bit
from placed
