{{ touched_rows('int_restated_rolling_days', ['service', 'day']) }}

{{ web_vitals('rolling', ['route', 'device_class'], 'day') }}
