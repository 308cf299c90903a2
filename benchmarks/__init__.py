"""Benchmarks of minidl, compared with other libraries: python -m benchmarks --help"""
