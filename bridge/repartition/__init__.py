"""A category copied into a topic with more partitions (design.md, Repartition): steps that can be gone on with.

It is done while nobody applies the category. Nothing of it is read or written meanwhile.
"""
