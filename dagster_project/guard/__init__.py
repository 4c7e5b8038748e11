"""The guard between the scores of people and everything that is published (docs/guard.md says what it promises).

bands.py      what is published of a mean, of a number of people, of a share
feasible.py   which scores a person can have, for somebody who knows what is published and the scores of two people
release.py    which cells of a closed quarter are published; the record of all that ever were
scan.py       the gate's look at every published table for people and for an order of people
decisions.py  what a published column may be used for
evidence.py   one person's own evidence pack
"""
