"""The PostgreSQL adapter: many machines read and write one database (DESIGN 7)."""
