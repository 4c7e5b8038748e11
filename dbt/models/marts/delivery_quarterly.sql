{{ delivery('quarter') }}
