"""What keeps environments current: schedules that are due, and the tests of proposals."""
