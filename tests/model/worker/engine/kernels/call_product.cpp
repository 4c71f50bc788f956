// A product's function called as a program, for a processor that this machine can only imitate.
//
// Standard input: as many whole numbers of 8 bytes as a product has sizes, then its arrays, each
// with its size before it, and the size of the result. Standard output: the result.

#include SOURCE
#include "program.h"

int main() {
    long sizes[6];
    for (long i = 0; i < 6; i++) sizes[i] = number();
    std::vector<std::vector<char>> arrays;
    for (long i = 0; i < ARRAYS; i++) arrays.push_back(array());
    std::vector<char> result(number());
#if ARRAYS == 5
    product(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], as<uint8_t>(arrays[0]),
            as<int8_t>(arrays[1]), as<int32_t>(arrays[2]), as<float>(arrays[3]),
            as<float>(arrays[4]), false, as<float>(result));
#else
    product(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], as<float>(arrays[0]),
            as<WEIGHT>(arrays[1]), as<float>(arrays[2]), as<float>(result));
#endif
    return print(result);
}
