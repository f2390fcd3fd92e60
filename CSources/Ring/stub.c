#include "CCycladesRing.h"
