{{ team_measures('quarter') }}
