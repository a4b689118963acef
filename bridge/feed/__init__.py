"""Reading many streams: the admitted order of one partition, merged over partitions, and live.

Read in this order: `order` (one partition, page by page), `merge` (many, by effective time), `follow` (live, one look a
partition for all readers), `playback` (a replay that goes on live), `feed` (what they share, and single pages),
`cursor` (a place in either order as a token).
"""
