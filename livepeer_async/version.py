"""The version of the package, for `User-Agent`; the build reads it from here too."""

VERSION = "0.1.0"
