// What a program reads: whole numbers of 8 bytes, and arrays, each with its size in bytes before
// it.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

inline long number() {
    int64_t found = 0;
    if (std::fread(&found, sizeof found, 1, stdin) != 1) std::exit(2);
    return found;
}

inline std::vector<char> array() {
    std::vector<char> found(number());
    if (std::fread(found.data(), 1, found.size(), stdin) != found.size()) std::exit(2);
    return found;
}

template <typename T>
inline T* as(std::vector<char>& bytes) {
    return reinterpret_cast<T*>(bytes.data());
}

inline int print(const std::vector<char>& result) {
    return std::fwrite(result.data(), 1, result.size(), stdout) == result.size() ? 0 : 2;
}
