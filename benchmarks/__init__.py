"""Each benchmark calls the real functions and prints one line of JSON; --toy is its size in the tests."""
