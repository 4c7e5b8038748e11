-- What no rotation takes goes to one of the team's own name, with the usual hours.
with rotations as (

    select
        *,
        false as is_default
    from {{ ref('stg_rotations') }}
    union all
    select
        team as rotation,
        team,
        cast(null as {{ dbt.type_string() }}) as services,
        cast(null as {{ dbt.type_string() }}) as time_zone,
        {{ minute_of_day("'09:00'") }} as business_from_minute,
        {{ minute_of_day("'17:00'") }} as business_to_minute,
        {{ minute_of_day("'22:00'") }} as sleep_from_minute,
        {{ minute_of_day("'07:00'") }} as sleep_to_minute,
        12 as shift_hours,
        {{ minute_of_day("'09:00'") }} as handover_minute,
        cast('1900-01-01' as date) as valid_from,
        cast('9999-12-31' as date) as valid_to,
        true as is_default
    from {{ ref('stg_teams') }}

)

select
    rotations.rotation,
    rotations.team,
    rotations.services,
    coalesce(rotations.time_zone, teams.time_zone) as time_zone,
    rotations.business_from_minute,
    rotations.business_to_minute,
    rotations.sleep_from_minute,
    rotations.sleep_to_minute,
    rotations.shift_hours,
    rotations.handover_minute,
    rotations.valid_from,
    rotations.valid_to,
    rotations.is_default
from rotations
inner join {{ ref('stg_teams') }} as teams on rotations.team = teams.team
