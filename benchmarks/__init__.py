"""How fast minidl is, and how fast its peers are: python -m benchmarks --help"""
