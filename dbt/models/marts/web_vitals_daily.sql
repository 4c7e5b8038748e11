{{ touched_rows('int_restated_session_days', ['service', 'day']) }}

{{ web_vitals('day', ['route', 'release', 'device_class'], 'int_restated_session_days', 'day') }}
