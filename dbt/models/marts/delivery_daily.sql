{{ touched_rows('int_touched_delivery', {'service': 'owner_name', 'day': 'first_day'}) }}

{{ delivery('day') }}
