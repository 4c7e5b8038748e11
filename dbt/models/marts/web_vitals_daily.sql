{{ touched_rows('int_restated_vital_days', ['service', 'day']) }}

{{ web_vitals('day', ['route', 'release', 'device_class'], 'day') }}
