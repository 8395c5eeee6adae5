"""Puts load on an app's authentication, and says what came of it."""
