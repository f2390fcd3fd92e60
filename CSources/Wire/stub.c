#include "CCycladesWire.h"
