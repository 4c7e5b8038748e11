{{ touched_rows('int_restated_windows', ['deployment_key']) }}

{{ indicator_effects() }}
