{{ touched_rows('int_restated_months', ['service', 'month']) }}

{{ web_vitals('month', ['route', 'release', 'device_class'], 'month') }}
