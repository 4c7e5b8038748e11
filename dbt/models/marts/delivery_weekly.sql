{{ touched_rows('int_touched_trends', {'service': 'owner_name', 'week': 'first_day'}) }}

{{ delivery('week') }}
