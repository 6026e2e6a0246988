"""The API's calls: built and decoded in `calls`, carried out by `caller`, grouped for users."""
