{{ delivery('day') }}
