with parts as (

    {{ slo_parts() }}
)

select
    parts.scan,
    conditions.definition,
    conditions.part,
    conditions.condition_group,
    conditions.position,
    conditions.column_name,
    conditions.operator,
    conditions.value,
    conditions.operator in ('ne', 'not_in') as is_negated,
    case
        when conditions.operator = 'is_present' then case when conditions.value = 'true' then 1 else 0 end
        when conditions.value_type = 'boolean' then case when conditions.value = 'true' then 2 else 1 end
        when conditions.value_type = 'text' then texts.code
        when conditions.operator in ('lt', 'lte') then 1
        when conditions.operator = 'gt' then exceeded.code
        else reached.code
    end as least_code,
    case
        when conditions.operator = 'is_present' and conditions.value = 'false' then 0
        when conditions.operator = 'is_present' then {{ slo_highest_code() }}
        when conditions.value_type = 'boolean' then case when conditions.value = 'true' then 2 else 1 end
        when conditions.value_type = 'text' then texts.code
        when conditions.operator in ('gt', 'gte') then {{ slo_highest_code() }}
        when conditions.operator = 'lt' then reached.code - 1
        else exceeded.code - 1
    end as greatest_code
from {{ ref('stg_slo_conditions') }} as conditions
inner join parts on conditions.definition = parts.definition and conditions.part = parts.part
left join {{ ref('int_slo_codes') }} as texts
    on
        conditions.value_type = 'text'
        and parts.scan = texts.scan
        and conditions.column_name = texts.column_name
        and conditions.value = texts.text_value
{%- for name, is_exceeded in {'reached': 'not reached.is_exceeded', 'exceeded': 'exceeded.is_exceeded'}.items() %}
left join {{ ref('int_slo_codes') }} as {{ name }}
    on
        conditions.value_type = 'number'
        and parts.scan = {{ name }}.scan
        and conditions.column_name = {{ name }}.column_name
        and cast(case when conditions.value_type = 'number' then conditions.value end as double) = {{ name }}.threshold
        and {{ is_exceeded }}
{%- endfor %}
