with as_of as (

    select
        {{ day_of('as_of') }} as as_of_day,
        {{ local_time('as_of') }} as local_as_of
    from {{ ref('int_as_of') }}

),

-- Each rotation has a row for every week of its team's activity in which it was valid, quiet ones too.
weeks as (

    select distinct
        rotations.rotation,
        rotations.team,
        {{ period_start('week', 'team_days.day') }} as week
    from {{ ref('int_team_days') }} as team_days
    inner join {{ ref('int_rotations') }} as rotations
        on
            team_days.team = rotations.team
            and team_days.day >= rotations.valid_from
            and team_days.day < rotations.valid_to
    where
        not rotations.is_default
        or not exists (
            select 1 from {{ ref('stg_rotations') }} as own
            where own.team = rotations.team
        )
    union
    select
        rotation,
        team,
        {{ period_start('week', 'alerted_on') }} as week
    from {{ ref('int_oncall_incidents') }}
    union
    -- The last page of an incident may come in the week after it.
    select
        rotation,
        team,
        {{ period_start('week', 'paged_on') }} as week
    from {{ ref('int_oncall_pages') }}

),

incidents as (

    select
        rotation,
        team,
        {{ period_start('week', 'alerted_on') }} as week,
        count(*) as incidents,
        count(*) filter (where is_closed) as closed_incidents,
        count(*) filter (where is_closed and is_false_positive) as false_positives,
        count(*) filter (where has_alert_key) as keyed_incidents,
        count(*) filter (where is_recurrence) as recurrences,
        count(*) filter (where is_closed and is_reviewable and not is_false_positive) as reviewable_incidents,
        count(*) filter (
            where is_closed and is_reviewable and not is_false_positive and reviewed_at is not null
        ) as reviewed_incidents
    from {{ ref('int_oncall_incidents') }}
    where not is_merged
    group by all

),

pages as (

    select
        rotation,
        team,
        {{ period_start('week', 'paged_on') }} as week,
        count(*) as pages,
        count(*) filter (where is_interruption) as interruptions,
        count(*) filter (where is_interruption and hours_class = 'business') as business_interruptions,
        count(*) filter (where is_interruption and hours_class = 'off') as off_hours_interruptions,
        count(*) filter (where is_interruption and hours_class = 'sleep') as sleep_interruptions
    from {{ ref('int_oncall_pages') }}
    group by all

),

-- A shift counts in the week of its first page.
shifts as (

    select
        rotation,
        team,
        {{ period_start('week', 'min(paged_on)') }} as week,
        count(distinct incident_key) as incidents
    from {{ ref('int_oncall_pages') }}
    group by rotation, team, shift_number, shift_hours

),

heavy_shifts as (

    select
        rotation,
        team,
        week,
        count(*) as shifts_over_norm
    from shifts
    where incidents > {{ var('oncall_incidents_per_shift_norm') }}
    group by rotation, team, week

),

lengths as (

    select
        weeks.rotation,
        weeks.team,
        weeks.week,
        min(rotations.shift_hours) as shift_hours
    from weeks
    inner join {{ ref('int_rotations') }} as rotations
        on
            weeks.rotation = rotations.rotation
            and weeks.team = rotations.team
            and {{ period_end('week', 'weeks.week') }} > rotations.valid_from
            and weeks.week < rotations.valid_to
    group by weeks.rotation, weeks.team, weeks.week

),

actions as (

    select
        incidents.rotation,
        incidents.team,
        {{ period_start('week', 'actions.due_on') }} as week,
        count(*) as due_actions,
        count(*) filter (where {{ day_of('actions.closed_at') }} <= actions.due_on) as actions_closed_on_time
    from {{ ref('stg_post_incident_actions') }} as actions
    inner join {{ ref('int_oncall_incidents') }} as incidents on actions.incident_key = incidents.incident_key
    cross join as_of
    where actions.due_on < as_of.as_of_day
    group by all

),

joined as (

    select
        weeks.week,
        weeks.team,
        weeks.rotation,
        {{ period_end('week', 'weeks.week') }} <= as_of.as_of_day as is_complete,
        {%- for count in ['pages', 'interruptions', 'business_interruptions', 'off_hours_interruptions',
            'sleep_interruptions'] %}
        coalesce(pages.{{ count }}, 0) as {{ count }},
        {%- endfor %}
        {%- for count in ['incidents', 'closed_incidents', 'false_positives', 'keyed_incidents', 'recurrences',
            'reviewable_incidents', 'reviewed_incidents'] %}
        coalesce(incidents.{{ count }}, 0) as {{ count }},
        {%- endfor %}
        coalesce(actions.due_actions, 0) as due_actions,
        coalesce(actions.actions_closed_on_time, 0) as actions_closed_on_time,
        coalesce(heavy_shifts.shifts_over_norm, 0) as shifts_over_norm,
        least(
            168.0, {{ hours_between('cast(weeks.week as timestamp)', 'as_of.local_as_of') }}
        ) / lengths.shift_hours as shifts,
        {{ period_start('quarter', 'weeks.week') }} as quarter
    from weeks
    cross join as_of
    inner join lengths
        on weeks.rotation = lengths.rotation and weeks.team = lengths.team and weeks.week = lengths.week
    left join pages
        on weeks.rotation = pages.rotation and weeks.team = pages.team and weeks.week = pages.week
    left join incidents
        on weeks.rotation = incidents.rotation and weeks.team = incidents.team and weeks.week = incidents.week
    left join heavy_shifts
        on
            weeks.rotation = heavy_shifts.rotation
            and weeks.team = heavy_shifts.team
            and weeks.week = heavy_shifts.week
    left join actions
        on weeks.rotation = actions.rotation and weeks.team = actions.team and weeks.week = actions.week

)

select
    joined.week,
    joined.team,
    joined.rotation,
    joined.is_complete,
    joined.pages,
    joined.interruptions,
    joined.business_interruptions,
    joined.off_hours_interruptions,
    joined.sleep_interruptions,
    joined.incidents,
    cast(joined.shifts as double) as shifts,
    {{ ratio('joined.incidents', 'joined.shifts') }} as incidents_per_shift,
    joined.shifts_over_norm,
    joined.closed_incidents,
    joined.false_positives,
    {{ ratio('joined.false_positives', 'joined.closed_incidents') }} as false_positive_rate,
    joined.keyed_incidents,
    joined.recurrences,
    {{ ratio('joined.recurrences', 'joined.keyed_incidents') }} as recurrence_rate,
    joined.reviewable_incidents,
    joined.reviewed_incidents,
    {{ ratio('joined.reviewed_incidents', 'joined.reviewable_incidents') }} as review_completion_rate,
    joined.due_actions,
    joined.actions_closed_on_time,
    {{ ratio('joined.actions_closed_on_time', 'joined.due_actions') }} as actions_on_time_rate,
    {%- for interval in ['acknowledge', 'action', 'mitigate', 'resolve'] %}
    responses.{{ interval }}_incidents,
    responses.{{ interval }}_median_hours,
    responses.{{ interval }}_p90_hours,
    {%- endfor %}
    case when responses.quarter is not null then joined.quarter end as response_quarter
from joined
left join {{ ref('int_response_times') }} as responses
    on
        joined.rotation = responses.rotation
        and joined.team = responses.team
        and joined.quarter = responses.quarter
