{{ delivery('quarter', by='team') }}
