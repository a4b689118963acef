"""Reading many streams: the admitted order of one partition, merged over partitions, and live.

Read in this order: `order` (one partition, page by page), `merge` (many, by effective time), `follow` (live, one look a
partition for all readers), `reading` (a replay that goes on live), `cursor` (a place in either order as a token).
"""
