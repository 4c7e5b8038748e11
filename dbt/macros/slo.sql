{# Service level objectives: events counted by what slos/*.yaml say. The vocabulary (sources, columns, operators) is that
   of dagster_project/slo/indicators.py. Of a definition, names of columns, which are checked here again, numbers, and
   texts as quoted literals become SQL, and nothing else. #}

{# Columns of each source, and their types, that a condition may name. #}
{% macro slo_vocabulary() %}
    {%- set browser = {
        'service': 'text', 'route': 'text', 'release': 'text', 'component': 'text', 'device_class': 'text',
        'country': 'text', 'is_authenticated': 'boolean', 'navigation_type': 'text'
    } -%}
    {%- set happened = {
        'event_type': 'text', 'step': 'text', 'is_success': 'boolean', 'is_retry_visible': 'boolean'
    } -%}
    {%- set measured = {'metric_name': 'text', 'metric_value': 'number'} -%}
    {{ return({
        'requests': {
            'service': 'text', 'route': 'text', 'method': 'text', 'status': 'number', 'duration_ms': 'number',
            'is_validation_error': 'boolean', 'is_synthetic': 'boolean', 'release': 'text'
        },
        'rum_events': dict(browser, **happened),
        'web_vitals': dict(browser, **measured),
        'sessions': dict(dict(browser, **happened), **measured),
        'jobs': {
            'service': 'text', 'queue': 'text', 'job_name': 'text', 'status': 'text', 'attempts': 'number',
            'release': 'text', 'is_on_time': 'boolean', 'wait_seconds': 'number', 'run_seconds': 'number'
        },
        'process_samples': {
            'service': 'text', 'sample_kind': 'text', 'is_cold_start': 'boolean', 'startup_ms': 'number',
            'uptime_seconds': 'number', 'rss_bytes': 'number', 'heap_used_bytes': 'number',
            'event_loop_delay_p99_ms': 'number', 'release': 'text', 'rss_growth_rate': 'number'
        },
        'synthetic_checks': {
            'service': 'text', 'check_name': 'text', 'location': 'text', 'is_success': 'boolean',
            'duration_ms': 'number'
        }
    }) }}
{% endmacro %}


{# The two counts of each definition, and what is read for each: a source; of jobs, with its deadline. #}
{% macro slo_parts() -%}
    {% for part in ['total', 'numerator'] -%}
    select
        definition,
        '{{ part }}' as part,
        {{ part }}_source || coalesce('/' || {{ part }}_deadline_seconds, '') as scan,
        {{ part }}_source as event_source,
        {{ part }}_deadline_seconds as deadline_seconds,
        is_part_of_total,
        numerator_kind,
        slot_minutes
    from {{ ref('stg_slos') }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
{%- endmacro %}


{# What has to be read: each source (jobs: with each deadline), the finest slot of time, and its columns that conditions
   name, each with how many codes it has, below which power of two, by how much its code counts in a class (`weight`), and
   what tells its values apart: texts, or steps of numbers; how many classes there are, below which power of two; and the
   places (int_slo_places) of the definitions that it is read for. #}
{% macro slo_scans() %}
    {#- A linter and `dbt compile` may look at a database without tables. -#}
    {%- set codes = ref('int_slo_codes') -%}
    {%- set places = ref('int_slo_places') -%}
    {%- if not execute or not table_exists(places.schema, places.identifier) -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set query %}
        select
            scan, event_source, deadline_seconds, slot_minutes, column_name, text_value, threshold, is_exceeded,
            tells_missing, is_selective,
            coalesce(max(code) over (partition by scan, column_name), 1) as highest_code
        from {{ codes }}
        order by scan, column_name, code
    {%- endset -%}
    {%- set scans = {} -%}
    {%- for row in run_query(query).rows -%}
        {%- set vocabulary = slo_vocabulary()[row.event_source] -%}
        {%- if not vocabulary or row.column_name not in vocabulary -%}
            {{ exceptions.raise_compiler_error(
                'reference.slo_conditions: ' ~ row.column_name ~ ' is no column of ' ~ row.event_source
            ) }}
        {%- endif -%}
        {%- set scan = scans.setdefault(row.scan, {
            'name': row.scan,
            'event_source': row.event_source,
            'deadline_seconds': row.deadline_seconds | int if row.deadline_seconds is not none else none,
            'slot_minutes': row.slot_minutes | int,
            'columns': {},
            'classes': 1,
            'classes_below': 1,
            'places': [],
        }) -%}
        {%- if row.column_name not in scan.columns -%}
            {%- set type = vocabulary[row.column_name] -%}
            {%- set number = 3 if type == 'boolean' else 1 + row.highest_code | int -%}
            {%- set below = 2 ** (number - 1).bit_length() -%}
            {%- do scan.columns.update({row.column_name: {
                'type': type, 'codes': number, 'codes_below': below, 'weight': scan.classes_below,
                'classes_before': scan.classes, 'steps': [], 'texts': [], 'tells_missing': row.tells_missing,
                'is_selective': row.is_selective
            }}) -%}
            {%- do scan.update({
                'classes': scan.classes * number, 'classes_below': scan.classes_below * below
            }) -%}
        {%- endif -%}
        {%- if row.threshold is not none -%}
            {%- set threshold = row.threshold | float -%}
            {%- do scan.columns[row.column_name].steps.append(
                ('> ' if row.is_exceeded else '>= ')
                ~ (threshold | int if threshold == threshold | int else 'cast(' ~ threshold ~ ' as double)')
            ) -%}
        {%- elif row.text_value is not none -%}
            {%- do scan.columns[row.column_name].texts.append(
                dbt.string_literal(dbt.escape_single_quotes(row.text_value))
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set query %}
        select
            scan,
            place,
            bool_and(service_code is not null) as is_of_one_service,
            bool_and(is_counted_at_once) as is_counted_at_once
        from {{ places }}
        group by scan, place
        order by scan, place
    {%- endset -%}
    {%- for row in run_query(query).rows -%}
        {%- do scans[row.scan].places.append(
            {
                'number': row.place | int, 'is_of_one_service': row.is_of_one_service,
                'is_counted_at_once': row.is_counted_at_once
            }
        ) -%}
    {%- endfor -%}
    {{ return(scans.values() | list) }}
{% endmacro %}


{# Bits of a bigint below its sign, but for one to spare. #}
{% macro slo_groups_in_mask() %}{{ return(62) }}{% endmacro %}

{# Columns that say which groups of conditions (int_slo_groups) the events of a session meet, a bit for each. #}
{% macro slo_masks() %}
    {%- set groups = ref('int_slo_groups') -%}
    {%- if not execute or not table_exists(groups.schema, groups.identifier) -%}
        {{ return(['mask_0']) }}
    {%- endif -%}
    {%- set query -%}
        select coalesce(max(mask), 0) from {{ groups }} where scan = 'sessions' and not is_of_service
    {%- endset -%}
    {%- set masks = [] -%}
    {%- for number in range((run_query(query).rows[0][0] | int) + 1) -%}{%- do masks.append('mask_' ~ number) -%}{%- endfor -%}
    {{ return(masks) }}
{% endmacro %}


{# Of so many classes all are judged, of more those that events have: to find out which takes a second pass over what
   sessions are made of, as long as the first, and judging 20,000 takes 0.3 s. An update has few events. #}
{% macro slo_enumerated_classes() %}{{ return(0 if is_incremental() else 20000) }}{% endmacro %}


{# More events than a slot of time may have, or the build ends: two smaller counts fit into one floating-point number,
   which is exact up to 2^53. #}
{% macro slo_events_below() %}{{ return(2 ** 26) }}{% endmacro %}


{# More codes than a column of numbers can have. #}
{% macro slo_highest_code() %}1000000{% endmacro %}


{# The code of an event's value in a column, `weight` times, the same for values that no condition of the scan tells
   apart: of numbers and booleans 0 where it has none; of texts 1, as any other, unless a condition asks whether it has
   one. #}
{% macro slo_code(scan, column, events='events', weight=1) -%}
    {%- set known = scan.columns[column] -%}
    {%- set value = events ~ '.' ~ column -%}
    {%- if known.steps -%}
        case
            {%- for step in known.steps | reverse %}
            when {{ value }} {{ step }} then {{ weight * (loop.revindex + 1) }}
            {%- endfor %}
            when {{ value }} is not null then {{ weight }}
            else 0
        end
    {%- elif known.type == 'boolean' -%}
        case when {{ value }} then {{ 2 * weight }} when not {{ value }} then {{ weight }} else 0 end
    {%- else -%}
        {%- set codes = {} -%}
        {%- for text in known.texts -%}{%- do codes.update({text: (loop.index + 1) * weight}) -%}{%- endfor -%}
        {%- set code = number_of(codes, value, weight) if codes else weight -%}
        {{ 'case when ' ~ value ~ ' is null then 0 else ' ~ code ~ ' end' if known.tells_missing else code }}
    {%- endif -%}
{%- endmacro %}


{# Whether an event may be of use: of some columns every definition names the texts that it means. #}
{% macro slo_is_selected(scan) -%}
    {%- for column, known in scan.columns.items() if known.is_selective %}
    {{ is_one_of(known.texts, 'events.' ~ column) }} and
    {%- endfor %}
    true
{%- endmacro %}


{# The class of an event: the codes of all its columns as one number, in bits of their own, since an engine looks at each
   sum whether it overflows (half the time of a class). Events of one class are all the same to every definition. #}
{% macro slo_class(scan) -%}
    {%- for column, known in scan.columns.items() %}
    {%- set code = slo_code(scan, column, weight=known.weight) %}
    {{ '| ' ~ code if not loop.first else 'cast(' ~ code ~ ' as ' ~ slo_class_type(scan) ~ ')' }}
    {%- endfor %}
{%- endmacro %}

{% macro slo_class_type(scan) -%}
    {%- set below = scan.classes_below -%}
    {{ 'integer' if below <= 2 ** 31 else 'bigint' if below <= 2 ** 63 else type_of_whole_numbers() }}
{%- endmacro %}


{# All classes of a scan, one for each of its numbers. #}
{% macro slo_all_classes(scan) -%}
    select
        cast(
            {%- for column, known in scan.columns.items() %}
            {{ '+ ' if not loop.first }}{{ whole_quotient('number', known.classes_before) }} % {{ known.codes }} * {{ known.weight }}
            {%- endfor %} as {{ slo_class_type(scan) }}
        ) as event_class
    from (select {{ each_of(whole_numbers_below(scan.classes)) }} as number) as numbers
{%- endmacro %}


{# One row for each event of a source, with the time at which it counts as counted_at; of sessions, their events. #}
{% macro slo_events(event_source, deadline_seconds) -%}
    {%- if event_source == 'requests' -%}
        select *, occurred_at as counted_at from {{ ref('stg_requests') }}
    {%- elif event_source == 'rum_events' -%}
        select *, occurred_at as counted_at from {{ ref('int_user_events') }} where event_type <> 'vital'
    {%- elif event_source == 'web_vitals' -%}
        select events.*, events.occurred_at as counted_at
        from {{ ref('int_user_events') }} as events
        left join {{ ref('int_superseded_reports') }} as superseded
            on
                events.source = superseded.source
                and events.service = superseded.service
                and events.event_id = superseded.event_id
        where
            events.event_type = 'vital'
            and superseded.event_id is null
            and {{ slo_near_touched_days('events.occurred_at', event_source) }}
    {%- elif event_source == 'sessions' -%}
        select *
        from {{ ref('int_user_events') }} as events
        where {{ slo_near_touched_days('events.occurred_at', event_source, after=1) }}
    {%- elif event_source == 'synthetic_checks' -%}
        select *, occurred_at as counted_at from {{ ref('stg_synthetic_checks') }}
    {%- elif event_source == 'process_samples' -%}
        select
            samples.*,
            samples.occurred_at as counted_at,
            case
                when samples.occurred_at >= settled.settled_at
                    then {{ ratio('samples.rss_bytes', 'settled.rss_bytes') }} - 1
            end as rss_growth_rate
        from {{ ref('stg_process_samples') }} as samples
        left join (
            select
                source,
                service,
                process_id,
                min(occurred_at) as settled_at,
                min_by(rss_bytes, occurred_at) as rss_bytes
            from {{ ref('stg_process_samples') }}
            where sample_kind = 'sample' and rss_bytes > 0 and uptime_seconds >= 3600
            group by source, service, process_id
        ) as settled
            on
                samples.source = settled.source
                and samples.service = settled.service
                and samples.process_id = settled.process_id
    {%- elif deadline_seconds is none -%}
        select
            *,
            cast(null as boolean) as is_on_time,
            {{ hours_between('enqueued_at', 'started_at') }} * 3600 as wait_seconds,
            {{ hours_between('started_at', 'finished_at') }} * 3600 as run_seconds,
            finished_at as counted_at
        from {{ ref('stg_jobs') }}
        where finished_at is not null
    {%- else -%}
        {#- What came after the deadline is not known at it, so that a late job stays late. -#}
        select
            source,
            job_id,
            service,
            queue,
            job_name,
            attempts,
            release,
            case when finished_at <= due_at then status end as status,
            finished_at is not null and finished_at <= due_at as is_on_time,
            case when started_at <= due_at then {{ hours_between('enqueued_at', 'started_at') }} * 3600 end
            as wait_seconds,
            case when finished_at <= due_at then {{ hours_between('started_at', 'finished_at') }} * 3600 end
            as run_seconds,
            least(coalesce(finished_at, due_at), due_at) as counted_at
        from (
            select *, enqueued_at + interval {{ deadline_seconds }} second as due_at from {{ ref('stg_jobs') }}
        ) as jobs
        where finished_at <= due_at or due_at <= (select as_of from {{ ref('int_as_of') }})
    {%- endif -%}
{%- endmacro %}


{# In an update, only times near the days of UTC that are counted anew. Sessions reach into the next day. #}
{% macro slo_near_touched_days(column, event_source, after=0) -%}
    {%- if not is_incremental() -%}
        true
    {%- else -%}
        {%- set rows -%}
            {{ as_it_stands('int_slo_touched_days') }} as touched
            inner join {{ as_it_stands('stg_slos') }} as slos
                on touched.definition_number = slos.definition_number
            where slos.total_source = '{{ event_source }}' or slos.numerator_source = '{{ event_source }}'
        {%- endset -%}
        {{ near_days(column, 'touched.counted_on', rows, 0, after) }}
    {%- endif -%}
{%- endmacro %}


{# What a budget is counted in, one row for each objective and unit of the given days: for Occurrences the events of a
   slot of time, else a slice of time. A slice is judged once it is over; one without events is no unit. `days` has
   definition, definition_number, day, day_starts_at, day_ends_at, units_start_at, units_end_at. #}
{% macro slo_units(days) -%}
    select
        slots.definition,
        slots.day,
        objectives.objective,
        slots.slot_starts_at as unit_starts_at,
        slots.good,
        slots.total,
        cast(slots.good as decimal(38, 12)) as good_units,
        slots.total as total_units
    from (
        {{ slo_slots(days) }}
    ) as slots
    inner join {{ ref('stg_slos') }} as slos on slots.definition = slos.definition
    inner join {{ ref('stg_slo_objectives') }} as objectives on slots.definition = objectives.definition
    where slos.budgeting_method = 'Occurrences'
    union all
    select
        definition,
        day,
        objective,
        unit_starts_at,
        good,
        total,
        case
            when total = 0 then 0
            when budgeting_method = 'Timeslices'
                then case when good >= cast(time_slice_target as decimal(18, 9)) * total then 1 else 0 end
            else cast({{ ratio('good', 'total') }} as decimal(38, 12))
        end as good_units,
        case when total > 0 then 1 else 0 end as total_units
    from (
        select
            slots.definition,
            slots.day,
            slots.day_ends_at,
            slots.units_start_at,
            slots.units_end_at,
            objectives.objective,
            objectives.time_slice_target,
            objectives.time_slice_minutes,
            slos.budgeting_method,
            slots.day_starts_at + cast(
                floor({{ minutes_between('slots.day_starts_at', 'slots.slot_starts_at') }} / objectives.time_slice_minutes)
                * objectives.time_slice_minutes as integer
            ) * interval 1 minute as unit_starts_at,
            cast(sum(slots.good) as bigint) as good,
            cast(sum(slots.total) as bigint) as total
        from (
            {{ slo_slots(days) }}
        ) as slots
        inner join {{ ref('stg_slos') }} as slos on slots.definition = slos.definition
        inner join {{ ref('stg_slo_objectives') }} as objectives on slots.definition = objectives.definition
        where slos.budgeting_method <> 'Occurrences'
        group by all
    ) as slices
    where
        unit_starts_at >= units_start_at
        and least(unit_starts_at + time_slice_minutes * interval 1 minute, day_ends_at) <= units_end_at
{%- endmacro %}


{# Of units: events, units, and how many units there were. #}
{% macro slo_sums() -%}
    cast(sum(good) as bigint) as good,
    cast(sum(total) as bigint) as total,
    cast(sum(good_units) as decimal(38, 12)) as good_units,
    cast(sum(total_units) as bigint) as total_units,
    count(*) filter (where total_units > 0) as counted_units,
    count(*) filter (where good > total or good < 0) as contradictory_units
{%- endmacro %}


{# The counts of the given days. A day may reach into three of UTC. #}
{% macro slo_slots(days) -%}
    select
        days.*,
        counts.slot_starts_at,
        counts.good,
        counts.total
    from {{ ref('int_slo_counts') }} as counts
    inner join (
        {%- for offset in range(3) %}
        select
            *,
            cast(day_starts_at as date) + interval {{ offset }} day as counted_on
        from {{ days }}
        where cast(day_starts_at as date) + interval {{ offset }} day < units_end_at
        {{- ' union all' if not loop.last }}
        {%- endfor %}
    ) as days on counts.definition_number = days.definition_number and counts.counted_on = days.counted_on
    where counts.slot_starts_at >= days.units_start_at and counts.slot_starts_at < days.units_end_at
{%- endmacro %}


{# How many times as fast as allowed a budget burns: 1 uses it up exactly at the end of the window. #}
{% macro burn_rate(bad_units, total_units, target) -%}
    round({{ ratio(bad_units, total_units) }} / (1 - {{ target }}), 9)
{%- endmacro %}


{# Pairs of windows in which a burning budget is looked for: in both it must burn faster than would use up
   `budget_share` of it in the long one. #}
{% macro slo_burn_pairs() -%}
    select '1h' as long_window, '5m' as short_window, 60 as long_minutes, 0.02 as budget_share, 'page' as verdict
    union all
    select '6h' as long_window, '30m' as short_window, 360 as long_minutes, 0.05 as budget_share, 'page' as verdict
    union all
    select '1d' as long_window, '2h' as short_window, 1440 as long_minutes, 0.1 as budget_share, 'ticket' as verdict
    union all
    select '3d' as long_window, '6h' as short_window, 4320 as long_minutes, 0.1 as budget_share, 'ticket' as verdict
{%- endmacro %}

{% macro slo_burn_windows() -%}
    {%- for burn_window, minutes in {
        '5m': 5, '30m': 30, '1h': 60, '2h': 120, '6h': 360, '1d': 1440, '3d': 4320
    }.items() %}
    select '{{ burn_window }}' as burn_window, {{ minutes }} as minutes
    {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# From which burn rate on a pair of windows gives a verdict: budget share × period ÷ long window. #}
{% macro slo_burn_factor(window_hours, budget_share='burn_pairs.budget_share', long_minutes='burn_pairs.long_minutes') -%}
    round({{ budget_share }} * {{ window_hours }} * 60 / {{ long_minutes }}, 9)
{%- endmacro %}
