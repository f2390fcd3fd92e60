#include "CCycladesShuffle.h"
