-- The service that each count names, if it names one; a part of a total has that of the total.
with services as (

    select
        scan,
        definition,
        part,
        min(case when condition_group = 0 and column_name = 'service' and operator = 'eq' then least_code end)
            as service_code
    from {{ ref('int_slo_conditions') }}
    group by scan, definition, part

),

counts as (

    select
        services.scan,
        services.definition,
        slos.definition_number,
        slos.slot_minutes,
        slos.numerator_kind,
        case
            when slos.is_part_of_total
                then coalesce(services.service_code, max(services.service_code) over (partition by services.definition))
            else services.service_code
        end as service_code
    from services
    inner join {{ ref('stg_slos') }} as slos on services.definition = slos.definition

),

definitions as (

    select
        scan,
        definition,
        definition_number,
        slot_minutes,
        numerator_kind,
        count(*) as parts,
        case when count(*) = count(service_code) and min(service_code) = max(service_code) then min(service_code) end
            as service_code
    from counts
    group by scan, definition, definition_number, slot_minutes, numerator_kind

),

numbered as (

    select
        *,
        row_number() over (partition by scan, service_code order by definition) as number_in_service,
        case when service_code is not null then count(*) over (partition by scan, service_code) else 0 end
            as numbers_in_service,
        min(slot_minutes) over (partition by scan) as scan_slot_minutes
    from definitions

)

-- Definitions about no one service come after those of all services.
select
    scan,
    definition,
    definition_number,
    numerator_kind,
    slot_minutes,
    cast(slot_minutes / scan_slot_minutes as bigint) as scan_slots,
    service_code,
    cast(
        number_in_service
        + case when service_code is null then max(numbers_in_service) over (partition by scan) else 0 end as integer
    ) as place,
    service_code is not null and parts = 2 and slot_minutes = scan_slot_minutes as is_counted_at_once
from numbered
