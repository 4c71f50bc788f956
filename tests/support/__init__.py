"""What tests share: servers, stubs, valid input, waiting."""
