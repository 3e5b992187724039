"""kinesis-mock for integration tests."""
