{{ delivery('month') }}
