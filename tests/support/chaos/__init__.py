"""Chaos: everything around two viewers is killed, stopped and continued at random.

`seat.Seat` is a place with a VM and its viewer, `world.World` both seats, their message bus
and their X server, `actions` what happens to them, `meter` how long QMP takes meanwhile, and
`lateness` how late the viewers' replies are.
"""
