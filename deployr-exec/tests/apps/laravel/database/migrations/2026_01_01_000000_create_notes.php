<?php

use Illuminate\Database\Migrations\Migration;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Schema;

return new class extends Migration
{
    public function up()
    {
        Schema::create('notes', function ($table) {
            $table->id();
            $table->string('text');
        });
        DB::table('notes')->insert(['text' => 'made by the migration']);
    }
};
