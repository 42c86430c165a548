"""What pulling costs here, against what people use today (``docs/performance.md``)."""
