-- Shows which messages may be of an occasion, for its deletion, which must not read all of them.

-- Each 128 pages have a Bloom filter with room for the 100 occasions that there may be. A full one takes one in ten thousand
-- others for its own. The index has a 4,000th of the size of the table, and costs each move of a message about 0.4 µs.
create index concurrently messages_of_occasion on messages using brin
    (occasion text_bloom_ops (n_distinct_per_range = 100, false_positive_rate = 0.0001))
    with (pages_per_range = 128, autosummarize = on);
