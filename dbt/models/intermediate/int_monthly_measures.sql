{{ team_measures('month') }}
