{%- do ref('int_deployment_windows') -%}
{%- do ref('int_release_matches') -%}
{%- do ref('int_indicator_counts') -%}
{%- do ref('int_restated_indicator_days') -%}

{%- if is_update() -%}
with releases as (

    select distinct
        service,
        release
    from {{ changed_since_last_build('release_matches') }} as differing

),

days as (

    select
        service,
        day
    from {{ ref('int_restated_indicator_days') }}
    union
    select
        counts.service,
        counts.day
    from {{ ref('int_indicator_counts') }} as counts
    inner join releases on counts.service = releases.service and counts.release = releases.release

)

select windows.deployment_key
from {{ ref('int_deployment_windows') }} as windows
-- A day more on either side is for the calendar's time zone.
inner join days
    on
        windows.service = days.service
        and windows.last_hour >= {{ hour_number('cast(days.day as timestamp)') }} - 24
        and windows.first_hour - 24 * {{ var('degradation_baseline_days') }}
        < {{ hour_number('cast(days.day as timestamp)') }} + 48
union
select deployment_key
from {{ changed_since_last_build('deployment_windows') }} as differing
{%- else -%}
{{ no_rows({'deployment_key': 'string'}) }}
{%- endif %}
