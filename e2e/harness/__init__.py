"""What the tests stand on: real servers, real clients. Nothing in here imitates a part of the product."""
