{{ touched_rows('int_touched_weeks', ['service', 'week']) }}

{{ delivery('week') }}
