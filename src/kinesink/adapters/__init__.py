"""One file per logging library: translate its record, then ``sink.emit(...)``; nothing else."""
