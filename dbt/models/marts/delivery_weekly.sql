{{ delivery('week') }}
