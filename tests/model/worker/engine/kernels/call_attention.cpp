// Attention called as a program, for any kind of processor.
//
// Standard input: the number of positions, then queries [AT_ONCE, HEAD], keys and values
// [positions, HEAD], and the size of the result [AT_ONCE, HEAD]. Standard output: the result.

#include SOURCE
#include "program.h"

int main() {
    const long count = number();
    std::vector<char> queries = array(), keys = array(), values = array(), result(number());
    std::vector<float> weights(AT_ONCE * count);
    attend_heads<AT_ONCE>(as<float>(queries), as<CACHE>(keys), as<CACHE>(values), count,
                          weights.data(), as<float>(result));
    return print(result);
}
