"""Kafka and Avro: record layout, codec, schema registry, producer, readers and admission (DESIGN 4 and 6)."""
