{{ delivery('month', by='team') }}
