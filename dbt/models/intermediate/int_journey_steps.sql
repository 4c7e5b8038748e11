{{ touched_rows('int_restated_session_days', {'service': 'service', 'started_on': 'day'}) }}

{{ journey_steps() }}
